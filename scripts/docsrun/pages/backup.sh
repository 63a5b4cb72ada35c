machine() { installed; started; people; filled; }
